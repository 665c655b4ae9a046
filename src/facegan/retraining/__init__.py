"""From a commit to a judged model: train and report, then release, in one job or in two."""
