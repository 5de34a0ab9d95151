"use strict";

SwaggerUIBundle({
  url: new URL("openapi.json", new URL(".", location.href)).pathname,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
