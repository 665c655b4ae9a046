"""The stages of ``dvc.yaml``, one module each; ``python -m pipeline.STAGE`` runs one."""
