/** The other servers of the service, asked past the store. */
export interface Peers {
  /**
   * Asks the servers at some of these addresses whether they serve now. Answers once, within 2 s and never from
   * within the call, with the addresses of those that said so. A lie can send clients to a registered server that
   * does not serve, and no further.
   */
  serving(addresses: readonly string[], done: (serving: readonly string[]) => void): void;
}
