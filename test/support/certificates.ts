import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIPv4 } from "node:net";

export interface CertificateAndKey {
  /** Both in PEM. */
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/** A certificate authority for one test, whose certificates are good for a day, for servers and clients alike. */
export interface Authority {
  readonly certificate: Buffer;
  /** A certificate for these names: of hosts, or IPv4 addresses. The first is its common name, too. */
  issue(...names: readonly string[]): CertificateAndKey;
}

export function newAuthority(): Authority {
  const pair = newPair();
  const issuer = { name: "test authority", key: pair.privateKey };
  return {
    certificate: certify(issuer, { name: issuer.name, key: pair.publicKey, extensions: [basicConstraints] }),
    issue(...names) {
      const { publicKey, privateKey } = newPair();
      const subject = { name: names[0] ?? "", key: publicKey, extensions: [alternativeNames(names)] };
      const key = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }));
      return { certificate: certify(issuer, subject), key };
    },
  };
}

const newPair = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });

interface Subject {
  readonly name: string;
  readonly key: KeyObject;
  readonly extensions: readonly Buffer[];
}

/** A certificate as RFC 5280, section 4.1 has it, in PEM. */
function certify(issuer: { readonly name: string; readonly key: KeyObject }, subject: Subject): Buffer {
  const body = sequence(
    der(0xa0, integer(Buffer.of(2))),
    integer(Buffer.concat([Buffer.of(1), randomBytes(15)])),
    ecdsaWithSha256,
    distinguishedName(issuer.name),
    sequence(time(Date.now() - 60_000), time(Date.now() + 86_400_000)),
    distinguishedName(subject.name),
    subject.key.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...subject.extensions)),
  );
  const signature = der(0x03, Buffer.of(0), sign("sha256", body, issuer.key));
  const base64 = sequence(body, ecdsaWithSha256, signature).toString("base64");
  return Buffer.from(`-----BEGIN CERTIFICATE-----\n${base64.replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`);
}

function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(content);
  const { length } = bytes;
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...head), bytes]);
}

const sequence = (...content: readonly Buffer[]) => der(0x30, ...content);
const integer = (bytes: Buffer) => der(0x02, bytes);
const objectId = (hex: string) => der(0x06, Buffer.from(hex, "hex"));
const time = (ms: number) =>
  der(
    0x17,
    Buffer.from(
      `${new Date(ms)
        .toISOString()
        .replace(/\.\d+|[-:T]/g, "")
        .slice(2)}`,
    ),
  );
const distinguishedName = (name: string) =>
  sequence(der(0x31, sequence(objectId("550403"), der(0x0c, Buffer.from(name)))));

const ecdsaWithSha256 = sequence(objectId("2a8648ce3d040302"));
const basicConstraints = sequence(
  objectId("551d13"),
  der(0x01, Buffer.of(0xff)),
  der(0x04, sequence(der(0x01, Buffer.of(0xff)))),
);

const alternativeNames = (names: readonly string[]) => {
  const encoded = names.map((name) =>
    isIPv4(name) ? der(0x87, Buffer.from(name.split(".").map(Number))) : der(0x82, Buffer.from(name)),
  );
  return sequence(objectId("551d11"), der(0x04, sequence(...encoded)));
};
