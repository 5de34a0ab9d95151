"""The web layer. Only this folder and `app` import Flask."""
