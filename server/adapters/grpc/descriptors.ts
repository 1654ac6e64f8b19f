import { createFileRegistry, type DescFile, type FileRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/** What is shown besides the services' own files: what the errors of calls carry. */
const ERROR_DETAILS = ["google/rpc/error_details.proto", "google/rpc/status.proto"];

/** The descriptors of everything that a client of some services may meet, as encoded `FileDescriptorProto`s. */
export class Descriptors {
  readonly #registry: FileRegistry;
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();

  /**
   * `set` is what `buf build --as-file-descriptor-set` writes; of it, only what belongs to the services is shown.
   * Throws if one of them is not in it.
   */
  constructor(set: Uint8Array, services: readonly string[]) {
    this.#registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
    for (const service of services) {
      const found = this.#registry.getService(service);
      if (found === undefined) throw new Error(`the descriptor set lacks ${service}: run npm run generate`);
      this.#add(found.file);
    }
    for (const file of this.#registry.files) if (ERROR_DETAILS.includes(file.proto.name)) this.#add(file);
  }

  /** The file, and then all that it imports, directly or not; `undefined` if there is none of that name. */
  fileNamed(name: string): Buffer[] | undefined {
    return withImports(this.#files.get(name));
  }

  /** Likewise the file that declares a message, field, oneof, enum, enum value, service or method. */
  fileOfSymbol(symbol: string): Buffer[] | undefined {
    return withImports(this.#symbols.get(symbol));
  }

  /** Likewise the file that declares an extension. */
  fileOfExtension(message: string, number: number): Buffer[] | undefined {
    const extended = this.#registry.getMessage(message);
    return withImports(extended && this.#registry.getExtensionFor(extended, number)?.file);
  }

  /** The numbers of the extensions of a message; `undefined` if there is no such message. */
  extensionNumbers(message: string): number[] | undefined {
    if (!this.#symbols.has(message)) return undefined;
    return [...this.#registry].flatMap((type) =>
      type.kind === "extension" && type.extendee.typeName === message ? [type.number] : [],
    );
  }

  #add(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const imported of file.dependencies) this.#add(imported);
    for (const symbol of symbolsOf(file)) this.#symbols.set(symbol, file);
  }
}

function* symbolsOf(file: DescFile): Iterable<string> {
  for (const type of nestedTypes(file)) {
    yield type.typeName;
    if (type.kind === "message")
      for (const { name } of [...type.fields, ...type.oneofs]) yield `${type.typeName}.${name}`;
    if (type.kind === "service") for (const { name } of type.methods) yield `${type.typeName}.${name}`;
    // The values of an enum are its siblings, as in C++.
    if (type.kind === "enum") for (const { name } of type.values) yield type.typeName.replace(/[^.]+$/, name);
  }
}

function withImports(file: DescFile | undefined): Buffer[] | undefined {
  if (file === undefined) return undefined;
  const files = new Set([file]);
  // A set goes on with what is added to it meanwhile.
  for (const each of files) for (const imported of each.dependencies) files.add(imported);
  return [...files].map(({ proto }) => Buffer.from(toBinary(FileDescriptorProtoSchema, proto)));
}
