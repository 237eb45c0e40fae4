"""From documents to sentences, and the splitters that cut them."""
