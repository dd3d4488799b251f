/* GraphiQL with the visitor's session: queries and mutations by POST with the page's CSRF token,
   subscriptions by graphql-transport-ws on the same path, both in the organization chosen above. */
(() => {
  "use strict";
  const place = document.getElementById("explorer");
  const choice = document.getElementById("organization");
  const address = new URL(location.pathname, location.href);
  const asked = new URLSearchParams(location.search);
  const WELCOME = `# Ctrl-Enter runs this.
# The book holds the schema.

query Here {
  viewer { email }
  tenant { slug name }
  workflows(first: 5) {
    edges { node { id name version } }
  }
}
`;

  const tenant = () => choice?.value || undefined;
  if (choice && [...choice.options].some((one) => one.value === asked.get("tenant"))) {
    choice.value = asked.get("tenant");
  }

  const socketAddress = new URL(address);
  socketAddress.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  const sockets = graphqlWs.createClient({
    url: socketAddress.href,
    lazy: true,
    connectionParams: () => ({ tenant: tenant() }),
  });
  choice?.addEventListener("change", () => sockets.terminate());

  const send = (input, init) => {
    const headers = new Headers(init.headers);
    headers.set("X-CSRFToken", place.dataset.token);
    if (tenant() && !headers.has("X-NStarX-Tenant")) headers.set("X-NStarX-Tenant", tenant());
    return fetch(input, { ...init, headers, credentials: "same-origin" });
  };

  /* The theme of the pages, until the visitor chooses another in GraphiQL's own settings. */
  const theme = document.documentElement.dataset.theme;
  if (theme && !localStorage.getItem("graphiql:theme")) {
    localStorage.setItem("graphiql:theme", theme);
  }

  ReactDOM.render(
    React.createElement(GraphiQL, {
      fetcher: GraphiQL.createFetcher({ url: address.href, fetch: send, wsClient: sockets }),
      defaultQuery: WELCOME,
      query: asked.get("query") ?? undefined,
      variables: asked.get("variables") ?? undefined,
      defaultEditorToolsVisibility: true,
      inputValueDeprecation: true,
      shouldPersistHeaders: false,
    }),
    place,
  );
})();
