"""Models: loading, the encoder, the heads, token-budget batching, and the embedded models."""
