package io.holdfast.client;

/**
 * What a client says it is: for people, nothing is decided by it.
 *
 * @param name the program
 * @param host the machine
 * @param pid the process; 0: unknown
 * @param language of its client library, such as "java"
 * @param version of its client library
 */
public record ClientInfo(String name, String host, int pid, String language, String version) {
  static ClientInfo fromWire(io.holdfast.v1.ClientInfo wire) {
    return new ClientInfo(wire.getName(), wire.getHost(), wire.getPid(), wire.getLanguage(), wire.getVersion());
  }
}
