/* The run page moves when the API says that the run did: `executionEvents` over graphql-transport-ws
   rings, htmx fetches the part that moves. Without the socket the part asks by itself, seldom. */
(() => {
  "use strict";
  const LEAST_MS = 300;
  const AGAIN_MS = 5000;
  const part = () => document.getElementById("live");
  const isLive = () => Boolean(part()?.hasAttribute("hx-get"));
  let busy = false;
  let wanted = false;
  let waiting = 0;
  let last = 0;

  const refresh = () => {
    if (!isLive() || waiting) return;
    if (busy) {
      wanted = true;
      return;
    }
    const early = last + LEAST_MS - Date.now();
    if (early > 0) {
      waiting = setTimeout(() => { waiting = 0; refresh(); }, early);
      return;
    }
    htmx.trigger(part(), "hint");
  };
  document.addEventListener("htmx:beforeRequest", () => {
    busy = true;
    wanted = false;
    last = Date.now();
  });
  /* What rang while the answer was on its way may be missing in it. */
  document.addEventListener("htmx:afterRequest", () => {
    busy = false;
    if (wanted) refresh();
  });

  const connect = () => {
    if (!isLive()) return;
    const { run, head, organization } = part().dataset;
    const path = part().getAttribute("hx-get");
    const address = new URL("/graphql", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, "graphql-transport-ws");
    const say = (message) => socket.send(JSON.stringify(message));
    socket.onopen = () => say({ type: "connection_init", payload: { tenant: organization } });
    socket.onmessage = ({ data }) => {
      const { type } = JSON.parse(data);
      if (type === "ping") say({ type: "pong" });
      else if (type === "next") refresh();
      else if (type === "error") socket.close();
      else if (type === "connection_ack") {
        const query = `subscription ($id: ID!, $seq: BigInt) {
          executionEvents(executionId: $id, afterSeq: $seq) { __typename }
        }`;
        const variables = { id: btoa(`Execution:${run}`), seq: head };
        say({ id: "run", type: "subscribe", payload: { query, variables } });
      } else if (type === "complete") {
        /* The last log lines come after the end. */
        socket.onclose = null;
        socket.close();
        htmx.ajax("GET", path, { target: "#live", swap: "outerHTML" });
      }
    };
    socket.onclose = () => setTimeout(connect, AGAIN_MS);
  };
  connect();
})();
