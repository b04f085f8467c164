"""Graph to Plan, one named pass per file: lower (prune, order, versions), fold, cse, place, plan."""
