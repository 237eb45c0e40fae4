"""How far two annotations agree, and the precision that is chosen by it. How good labels are, each task says itself."""
