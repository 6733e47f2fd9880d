"""All findings: one pure function a check, one file a subject, and the catalogue of their codes."""
