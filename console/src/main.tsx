import "@fontsource-variable/inter/wght.css";
import "@fontsource-variable/jetbrains-mono/wght.css";
import "uplot/dist/uPlot.min.css";
import "./style/tokens.css";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/views.css";
import { render } from "preact";
import { route } from "./route.ts";
import { Shell } from "./shell.tsx";
import { followAlways } from "./topics.ts";
import { useValue } from "./value.ts";
import { GraphView } from "./views/graph.tsx";
import { LockView } from "./views/lock.tsx";
import { LocksView } from "./views/locks.tsx";
import { OverviewView } from "./views/overview.tsx";
import { ServersView } from "./views/servers.tsx";
import { SessionView } from "./views/session.tsx";
import { SessionsView } from "./views/sessions.tsx";

function Page() {
  return (
    <Shell>
      <View />
    </Shell>
  );
}

function View() {
  const shown = useValue(route);
  switch (shown.view) {
    case "overview":
      return <OverviewView />;
    case "locks":
      return <LocksView prefix={shown.prefix} />;
    case "lock":
      return <LockView key={shown.name} name={shown.name} />;
    case "sessions":
      return <SessionsView />;
    case "session":
      return <SessionView key={shown.id} id={shown.id} />;
    case "graph":
      return <GraphView />;
    case "servers":
      return <ServersView />;
    default:
      return shown satisfies never;
  }
}

followAlways();
render(<Page />, document.getElementById("app")!);
