"""A finished dataset looked at: queries, sentences picked from it, and a report in HTML."""
