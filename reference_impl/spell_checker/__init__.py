"""The spell checker: it corrects the spelling of each essay."""
