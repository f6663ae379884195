"""The native engine alone: its sockets, and a Python behind it that only echoes, hangs and streams."""
