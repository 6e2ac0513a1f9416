"""How the outside reaches AMOS: settings, the HTTP application and its server, the command line.

settings.py reads the environment once; composition.py turns settings into a running gateway; app.py and rest/
put HTTP around it, middleware/ decides who may knock; cli/ is the same gateway for people at a terminal.
"""

__version__ = "0.1.0"
