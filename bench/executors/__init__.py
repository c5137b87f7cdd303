"""Where jobs run: in processes of this machine (`process`), or as tasks of a Ray cluster (`ray`)."""
