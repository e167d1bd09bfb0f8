"""How what is known is written: canonical JSON, its versions, common phrases, text that others wrote."""
