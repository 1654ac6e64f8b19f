/** A language whose client library is held to the scenarios. */
export interface Language {
  readonly name: string;
  /** What bash runs in the root of the repository to make the driver, once in a run; `undefined`: nothing. */
  readonly build?: string;
  /** The driver and its arguments, started in the root of the repository; "node" is the Node that runs the suite. */
  readonly start: readonly [string, ...string[]];
}

/** Every language that has a driver. */
export const languages: readonly Language[] = [
  { name: "typescript", start: ["node", "clients/typescript/test/conformance-driver.ts"] },
  {
    name: "go",
    build: "go build -C clients/go -o ../../.cache/bin/conformance-go ./cmd/conformance-driver",
    start: [".cache/bin/conformance-go"],
  },
  {
    name: "java",
    build: "clients/java/conformance-driver.sh",
    start: ["java", "@clients/java/target/conformance-driver.args"],
  },
];
