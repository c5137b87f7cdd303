"""Where jobs run: in processes of this machine (`local`), or as tasks of a Ray cluster (`ray`)."""
