/** The extensions of certificates (RFC 5280, section 4.2), each from what it says to its DER. */
import { Fault } from '#common/fault.ts';
import {
  context,
  contextPrimitive,
  der,
  derNull,
  derTrue,
  extension as encode,
  ia5,
  integerOf,
  namedBits,
  octetString,
  oid,
  sequence,
} from './der-writer.ts';
import { encodeGeneralName, encodeSubtreeBase, type GeneralName } from './general-name.ts';

/** In the order of their bits (section 4.2.1.3). */
const usages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;
export type KeyUsage = (typeof usages)[number];

const purposes: Readonly<Record<string, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  OCSPSigning: '1.3.6.1.5.5.7.3.9',
};

/** Where to ask about an issuer (section 4.2.2.1): URLs, plain http by custom. */
export interface AuthorityInfo {
  readonly ocsp: readonly string[];
  readonly issuers: readonly string[];
}

/** Names that certificates below may have (section 4.2.1.10). */
export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

const extension = (dotted: string, critical: boolean, contents: Buffer): Buffer =>
  encode(oid(dotted), contents, critical);

/**
 * Encodes what it is given once, as long as that lives: what many certificates say alike is handed over as the same
 * object each time, and is not changed.
 */
function once<Given extends object>(make: (given: Given) => Buffer): (given: Given) => Buffer {
  const known = new WeakMap<Given, Buffer>();
  return (given) => {
    let encoded = known.get(given);
    if (!encoded) {
      encoded = make(given);
      known.set(given, encoded);
    }
    return encoded;
  };
}

const leaf = extension('2.5.29.19', true, sequence());

/** Critical, also in leaves. cA FALSE is the default, and DER leaves defaults out. */
export function basicConstraints(isCa: boolean, pathLength: number | undefined): Buffer {
  if (!isCa) return leaf;
  const parts = pathLength === undefined ? [derTrue] : [derTrue, integerOf(BigInt(pathLength))];
  return extension('2.5.29.19', true, sequence(...parts));
}

export const keyUsage = once((given: readonly KeyUsage[]) =>
  extension('2.5.29.15', true, namedBits(given.map((usage) => usages.indexOf(usage)))),
);

/** Short names of the list above, or dotted object identifiers. */
export const extendedKeyUsage = once((given: readonly string[]) =>
  extension(
    '2.5.29.37',
    false,
    sequence(...given.map((word) => oid(Object.hasOwn(purposes, word) ? purposes[word]! : word))),
  ),
);

/** Critical when there is no subject to go by. */
export const alternativeNames = (names: readonly GeneralName[], critical: boolean): Buffer =>
  extension('2.5.29.17', critical, sequence(...names.map(encodeGeneralName)));

export const subjectKeyId = (keyId: Buffer): Buffer => extension('2.5.29.14', false, octetString(keyId));

export const authorityKeyId = once((keyId: Buffer) =>
  extension('2.5.29.35', false, sequence(der(contextPrimitive(0), keyId))),
);

const url = (text: string): Buffer => {
  if (!URL.canParse(text)) throw new Fault('malformed', `"${text}" is not a URL.`);
  return der(contextPrimitive(6), ia5(text));
};

/** One distribution point with every URL: they name the same list (section 4.2.1.13). */
export const crlDistributionPoints = once((urls: readonly string[]) =>
  extension('2.5.29.31', false, sequence(sequence(der(context(0), der(context(0), ...urls.map(url)))))),
);

export const authorityInfo = once(({ ocsp, issuers }: AuthorityInfo) => {
  const access = (method: string) => (text: string) => sequence(oid(method), url(text));
  const all = [...ocsp.map(access('1.3.6.1.5.5.7.48.1')), ...issuers.map(access('1.3.6.1.5.5.7.48.2'))];
  return extension('1.3.6.1.5.5.7.1.1', false, sequence(...all));
});

/** RFC 6960, section 4.2.2.2.1: nobody needs to ask whether this responder was revoked. */
export const ocspNoCheck: Buffer = extension('1.3.6.1.5.5.7.48.1.5', false, derNull);

export const nameConstraints = once(({ permitted, excluded }: NameConstraints) => {
  const subtrees = (number: number, names: readonly GeneralName[]) =>
    names.length === 0
      ? []
      : [der(context(number), ...names.map((name) => sequence(encodeSubtreeBase(name))))];
  return extension('2.5.29.30', true, sequence(...subtrees(0, permitted), ...subtrees(1, excluded)));
});
