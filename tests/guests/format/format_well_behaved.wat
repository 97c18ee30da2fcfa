;; Does nothing wrong: what the others are made of.
