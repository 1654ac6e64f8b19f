import { clientName } from "../format.ts";
import type { ClientInfo } from "../gen/holdfast/v1/lock_service.ts";
import { href } from "../route.ts";
import { Text } from "./text.tsx";

/** A lock's name, leading to it. */
export function LockLink({ name, quiet = false }: { name: string; quiet?: boolean }) {
  return (
    <a class="name" href={href({ view: "lock", name })} tabIndex={quiet ? -1 : undefined}>
      <Text>{name}</Text>
    </a>
  );
}

/** Who somebody is, leading to the session. */
export function ClientLink({
  client,
  sessionId,
  quiet = false,
}: {
  client: ClientInfo | undefined;
  sessionId: string;
  quiet?: boolean;
}) {
  return (
    <a class="client" href={href({ view: "session", id: sessionId })} tabIndex={quiet ? -1 : undefined}>
      <Text>{clientName(client, sessionId)}</Text>
      {client !== undefined && client.pid !== 0 && <span class="pid">{client.pid}</span>}
    </a>
  );
}
