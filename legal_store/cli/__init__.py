"""What all tasks share: how they are declared, found, run and shown. The tasks themselves are in legal_store/ops/."""
