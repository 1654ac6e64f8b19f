import { Value } from "./value.ts";

/** What the page shows, as its address says. */
export type Route =
  | { readonly view: "overview" | "sessions" | "graph" | "servers" }
  | { readonly view: "locks"; readonly prefix: string }
  | { readonly view: "lock"; readonly name: string }
  | { readonly view: "session"; readonly id: string };

/** The address of a route, for links: it lives behind "#", so that the server has one page only. */
export function href(route: Route): string {
  switch (route.view) {
    case "overview":
      return "#/";
    case "locks":
      return route.prefix === "" ? "#/locks" : `#/locks?prefix=${encodeURIComponent(route.prefix)}`;
    case "lock":
      return `#/lock/${encodeURIComponent(route.name)}`;
    case "session":
      return `#/session/${encodeURIComponent(route.id)}`;
    default:
      return `#/${route.view}`;
  }
}

/** What an address says; what says nothing is the overview. */
function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [view, ...rest] = path.split("/");
  const subject = decode(rest.join("/"));
  switch (view) {
    case "locks":
      return { view, prefix: new URLSearchParams(query).get("prefix") ?? "" };
    case "lock":
      return subject === "" ? { view: "locks", prefix: "" } : { view, name: subject };
    case "session":
      return subject === "" ? { view: "sessions" } : { view, id: subject };
    case "sessions":
    case "graph":
    case "servers":
      return { view };
    default:
      return { view: "overview" };
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

export const route = new Value<Route>(readRoute(location.hash));
addEventListener("hashchange", () => route.set(readRoute(location.hash)));

/** Goes to a route, as a link would. */
export function go(to: Route): void {
  location.hash = href(to);
}

/** Puts a route into the address without a step in the history, as for what is being typed. */
export function replace(to: Route): void {
  history.replaceState(null, "", href(to));
  route.set(to);
}
