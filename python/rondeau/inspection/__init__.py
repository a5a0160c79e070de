"""Looking into a running program from outside: `python -m rondeau ps`, `pstree` and `top`.

`asking` finds the program and asks it, `snapshot` is what it answered, `stuck` says which tasks can never go on, `listing`,
`tree` and `live` are what the three commands print, `command` is their command line. The program's side is
`crates/python/src/inspect`; docs/seeing.md has the messages between the two.
"""
