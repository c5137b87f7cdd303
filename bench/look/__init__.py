"""How our pages look: colours, themes, and the plain parts that the report and the search page share. No code."""
