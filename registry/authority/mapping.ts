/**
 * Which device a certificate of a foreign CA speaks for: rules over what was read from its DER, never over text forms.
 * Pure; whether that device exists and may come in is judged elsewhere.
 */
import { type DeviceId, isDeviceId } from '#common/identity.ts';
import type { Certificate } from '#common/x509/certificate.ts';
import { Fields, oidOf, readDer, tags } from '#common/x509/der.ts';
import { valuesOf } from '#common/x509/name.ts';
import { attributeOids } from '#common/x509/object-identifier.ts';

export const mappingSources = ['uri', 'dns', 'otherName', 'serialNumber', 'commonName', 'subject'] as const;
export type MappingSource = (typeof mappingSources)[number];

/** How the octets of an otherName that is no string are written. */
export const mappingEncodings = ['text', 'hex'] as const;

export interface MappingRule {
  /** `serialNumber` is the attribute of the subject (2.5.4.5), as IEEE 802.1AR wants it, not that of the certificate. */
  readonly from: MappingSource;
  /** Object identifier: of the attribute for `subject`, of the type for `otherName`. */
  readonly type?: string;
  /** Counted from 0 over the values of its kind; without it, exactly one of them must fit. */
  readonly index?: number;
  /** Where in the value the device id stands: `urn:dev:{id}`. The whole value when absent. */
  readonly pattern?: string;
  /** For an otherName of octets; `text` when absent. */
  readonly encoding?: (typeof mappingEncodings)[number];
}

const place = '{id}';

/** Why a rule cannot be used, as the end of a sentence; null when it can. */
export function problemOfRule({ from, type, pattern, encoding }: MappingRule): string | null {
  const typed = from === 'subject' || from === 'otherName';
  if (typed !== (type !== undefined))
    return typed
      ? `a rule from ${from} needs a type, an object identifier`
      : `a rule from ${from} has no type`;
  if (encoding !== undefined && from !== 'otherName') return 'only a rule from otherName has an encoding';
  if (pattern !== undefined && pattern.split(place).length !== 2)
    return `the pattern "${pattern}" does not have ${place} exactly once`;
  return null;
}

/** The device of the first rule that yields a valid device id; null when none does. */
export function deviceOf(certificate: Certificate, rules: readonly MappingRule[]): DeviceId | null {
  for (const rule of rules) {
    const device = applied(rule, certificate);
    if (device !== null) return device;
  }
  return null;
}

function applied(rule: MappingRule, certificate: Certificate): DeviceId | null {
  const all = valuesFrom(rule, certificate);
  const values = rule.index === undefined ? all : all.slice(rule.index, rule.index + 1);
  const fitting = new Set(values.flatMap((value) => cut(value, rule.pattern ?? place) ?? []));
  // Two ids that fit are a certificate that can be read in two ways: it speaks for nobody.
  const [device, ...more] = fitting;
  return device !== undefined && more.length === 0 ? device : null;
}

/** What stands at `{id}`; null when the rest does not match, or when it is no device id. */
function cut(value: string | null, pattern: string): DeviceId | null {
  const [before = '', after = ''] = pattern.split(place);
  if (value === null || value.length < before.length + after.length) return null;
  if (!value.startsWith(before) || !value.endsWith(after)) return null;
  const id = value.slice(before.length, value.length - after.length);
  return isDeviceId(id) ? id : null;
}

/** In the order of the certificate; null for a value of the kind that is no text, so that counting stays right. */
function valuesFrom({ from, type, encoding }: MappingRule, certificate: Certificate): (string | null)[] {
  const { subject, extensions } = certificate;
  const names = extensions.subjectAltName?.names ?? [];
  switch (from) {
    case 'uri':
    case 'dns':
      return names.flatMap((name) => (name.type === from ? [name.value] : []));
    case 'otherName':
      return names.flatMap((name) =>
        name.type === 'otherName' && name.typeId === type ? [textOfOther(name.value, type, encoding)] : [],
      );
    case 'serialNumber':
      return valuesOf(subject, attributeOids.serialNumber);
    case 'commonName':
      return valuesOf(subject, attributeOids.commonName);
    case 'subject':
      return valuesOf(subject, type ?? '');
  }
}

/** hardwareModuleName (RFC 4108, section 5): `SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING }`. */
const hardwareModuleName = '1.3.6.1.5.5.7.8.4';

function textOfOther(der: Buffer, type: string, encoding: MappingRule['encoding']): string | null {
  try {
    const value = readDer(der);
    if (type !== hardwareModuleName) return textOf(value, encoding);
    const fields = new Fields(value, 'a hardwareModuleName');
    oidOf(fields.take(tags.oid, 'hwType'));
    const serial = fields.take(tags.octetString, 'hwSerialNum');
    fields.end();
    return textOf(serial, encoding);
  } catch {
    return null;
  }
}

const strings: ReadonlySet<number> = new Set([
  tags.utf8String,
  tags.printableString,
  tags.ia5String,
  tags.numericString,
  tags.visibleString,
]);

/** Either text or hex, as the rule says: what is text in one certificate and hex in another could say the same twice. */
function textOf(
  { tag, body }: { tag: number; body: Buffer },
  encoding: MappingRule['encoding'],
): string | null {
  if (encoding === 'hex') return tag === tags.octetString ? body.toString('hex') : null;
  if (!strings.has(tag) && tag !== tags.octetString) return null;
  const text = body.toString('latin1');
  return /^[ -~]+$/.test(text) ? text : null;
}
