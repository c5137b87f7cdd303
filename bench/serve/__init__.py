"""The search page: finished runs side by side, asked from a browser. It needs the extra `serve`."""
