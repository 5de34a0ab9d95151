"""What gunicorn needs: hooks, reloads and metric slots. Imports only the standard library and gunicorn."""
