"""The composition root: the command, the settings, the web application, the processes around it."""
