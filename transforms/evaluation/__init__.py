"""How good labels are: metrics, reports, and how far two annotations agree."""
