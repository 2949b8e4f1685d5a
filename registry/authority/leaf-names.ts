/**
 * The subject and the names of a leaf, from the templates of its profile. Values are checked by the syntax of what they
 * become: an attribute of a device is something that somebody has typed, and must not say more than it is. Pure.
 */
import { Fault } from '#common/fault.ts';
import type { LeafAttribute } from '../ca/plan.ts';
import { fill, type TemplateDevice } from './template.ts';

/** The part of a profile that says it. */
export interface NameTemplates {
  /** Of the profile. */
  readonly name: string;
  readonly subject: readonly { readonly attribute: LeafAttribute['type']; readonly value: string }[];
  /** Names beside the SPIFFE ID. */
  readonly names: readonly { readonly type: 'uri' | 'dns'; readonly value: string }[];
}

export interface LeafNames {
  /** Beside the CN. */
  readonly subject: readonly LeafAttribute[];
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** Upper bounds of RFC 5280, appendix A.1: characters. */
const longest: Record<LeafAttribute['type'], number> = {
  O: 64,
  OU: 64,
  L: 128,
  ST: 128,
  C: 2,
  serialNumber: 64,
};
const longestUri = 255;
const longestDnsName = 253;

/** C0, DEL and C1 controls, separators of lines, marks that turn the direction of text, and what is no character. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Cn}\p{Co}]/u;
/** X.520, clause 6.2.9 and RFC 5280: serialNumber is a PrintableString. */
const printableString = /^[A-Za-z0-9 '()+,./:=?-]+$/;
/** RFC 1034, section 3.5 as RFC 1123 mends it: letters, digits, hyphens within; at least one label that is no number. */
const dnsLabel = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
/** RFC 3986: a scheme, then characters of URIs only, without those that text formats of names put between them. */
const uri = /^[a-z][a-z0-9+.-]*:[A-Za-z0-9\-._~:/?#[\]@!$&()*+;=%]+$/;

/** Why a value cannot stand there, or null. */
export function troubleWithAttribute(attribute: LeafAttribute['type'], value: string): string | null {
  const most = longest[attribute];
  if (value.trim() === '') return 'is empty';
  if ([...value].length > most) return `has more than ${most} characters`;
  if (unprintable.test(value)) return 'holds a control character';
  if (attribute === 'C' && !/^[A-Z]{2}$/.test(value)) return 'is no country code of two capital letters';
  if (attribute === 'serialNumber' && !printableString.test(value)) return 'is no PrintableString';
  return null;
}

/** The same for a name beside the SPIFFE ID. */
export function troubleWithName(type: 'uri' | 'dns', value: string): string | null {
  if (type === 'uri') {
    if (value.length > longestUri) return `has more than ${longestUri} characters`;
    if (!uri.test(value)) return 'is no URI of RFC 3986';
    return value.startsWith('spiffe:') ? 'is a SPIFFE ID, and a certificate has one only' : null;
  }
  const labels = value.split('.');
  if (value.length > longestDnsName) return `has more than ${longestDnsName} characters`;
  if (!labels.every((label) => dnsLabel.test(label))) return 'is no host name';
  return /^[0-9]+$/.test(labels.at(-1)!) ? 'is an address or ends like one' : null;
}

/** Faults `csr-subject` and `csr-san` for a variable that the device does not have, and a value that does not fit. */
export function leafNamesOf(profile: NameTemplates, device: TemplateDevice): LeafNames {
  const subject = profile.subject.map(({ attribute, value }) => {
    const where = `the profile ${profile.name} writes ${attribute}=${value}`;
    const text = filled('csr-subject', where, value, device);
    const trouble = troubleWithAttribute(attribute, text);
    if (trouble) throw new Fault('csr-subject', `For the device ${device.id} ${where}, and that ${trouble}.`);
    return { type: attribute, value: text };
  });
  const uris: string[] = [];
  const dnsNames: string[] = [];
  for (const { type, value } of profile.names) {
    const where = `the profile ${profile.name} writes the name ${type}:${value}`;
    const text = filled('csr-san', where, value, device);
    const trouble = troubleWithName(type, text);
    if (trouble) throw new Fault('csr-san', `For the device ${device.id} ${where}, and that ${trouble}.`);
    (type === 'uri' ? uris : dnsNames).push(text);
  }
  return { subject, uris, dnsNames };
}

function filled(
  kind: 'csr-subject' | 'csr-san',
  where: string,
  template: string,
  device: TemplateDevice,
): string {
  const result = fill(template, device);
  if ('text' in result) return result.text;
  throw new Fault(
    kind,
    `The device ${device.id} has no ${result.missing}, and ${where}; set the attribute before it enrolls.`,
  );
}
