"""The four tasks: what each decodes from a model's outputs, and how it is laid out as an Arrow column."""
