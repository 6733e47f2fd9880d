"""The Protocols by which verbs speak to the outside, with the records that they exchange."""
