"""The servers that the servicers can be mounted on."""
