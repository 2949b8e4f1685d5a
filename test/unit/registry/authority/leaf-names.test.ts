/** Templates of profiles: what they become, what a device must have for them, and what never comes out of them. */
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { leafNamesOf } from '../../../../registry/authority/leaf-names.ts';
import {
  defaultProfile,
  mostTemplates,
  type ProfileDocument,
  readProfile,
} from '../../../../registry/authority/profile.ts';

const profile = (change: Partial<ProfileDocument>): ProfileDocument => ({
  ...defaultProfile(86_400_000, 0),
  ...change,
});
const device = { id: 'pump-1', fleet: 'plant', attributes: { site: 'Turin', line: '4', empty: '' } };
const kindOf = (run: () => unknown): string | null => {
  try {
    run();
    return null;
  } catch (thrown) {
    return thrown instanceof Fault ? thrown.kind : String(thrown);
  }
};

/** A host name of so many characters, in labels of 50. */
const hostOf = (length: number): string => `${`${'x'.repeat(50)}.`.repeat(4)}${'y'.repeat(length - 204)}`;

test('variables are filled in, in subject and names', () => {
  const document = profile({
    subject: [
      { attribute: 'O', value: 'Acme' },
      { attribute: 'OU', value: '${device.fleet}/${device.attributes.line}' },
      { attribute: 'L', value: '${device.attributes.site}' },
    ],
    names: [
      { type: 'dns', value: '${device.id}.${device.fleet}.example' },
      { type: 'uri', value: 'urn:acme:device:${device.id}' },
    ],
  });
  readProfile(document);
  expect(leafNamesOf(document, device)).toEqual({
    subject: [
      { type: 'O', value: 'Acme' },
      { type: 'OU', value: 'plant/4' },
      { type: 'L', value: 'Turin' },
    ],
    dnsNames: ['pump-1.plant.example'],
    uris: ['urn:acme:device:pump-1'],
  });
});

test.each(['absent', 'empty', 'constructor', '__proto__'])('an attribute %s refuses', (name) => {
  const value = `\${device.attributes.${name}}`;
  const subject = profile({ subject: [{ attribute: 'L', value }] });
  expect(kindOf(() => leafNamesOf(subject, device))).toBe('csr-subject');
  expect(() => leafNamesOf(subject, device)).toThrow(`device.attributes.${name}`);
  const names = profile({ names: [{ type: 'dns', value }] });
  expect(kindOf(() => leafNamesOf(names, device))).toBe('csr-san');
});

test.each([
  ['O', 'x'.repeat(64), null],
  ['O', 'x'.repeat(65), 'csr-subject'],
  ['L', 'é'.repeat(128), null],
  ['L', 'é'.repeat(129), 'csr-subject'],
  ['O', 'a\0b', 'csr-subject'],
  ['O', 'a\nCN=b', 'csr-subject'],
  ['O', 'a\u0085b', 'csr-subject'],
  ['O', 'a\u202eb', 'csr-subject'],
  ['O', 'a\ud800b', 'csr-subject'],
  ['O', ' ', 'csr-subject'],
  ['O', 'Fräulein, Söhne + Co = "x"', null],
  ['C', 'IT', null],
  ['C', 'it', 'csr-subject'],
  ['C', 'ITA', 'csr-subject'],
  ['serialNumber', 'A-12/3', null],
  ['serialNumber', 'A_12', 'csr-subject'],
  ['serialNumber', 'ä', 'csr-subject'],
] as const)('the attribute %s=%j', (attribute, value, kind) => {
  const document = profile({ subject: [{ attribute, value: '${device.attributes.v}' }] });
  expect(kindOf(() => leafNamesOf(document, { ...device, attributes: { v: value } }))).toBe(kind);
});

test.each([
  ['dns', 'a.b-c.example', null],
  ['dns', `${'x'.repeat(63)}.example`, null],
  ['dns', `${'x'.repeat(64)}.example`, 'csr-san'],
  ['dns', hostOf(253), null],
  ['dns', hostOf(254), 'csr-san'],
  ['dns', '*.example', 'csr-san'],
  ['dns', '-a.example', 'csr-san'],
  ['dns', 'a_b.example', 'csr-san'],
  ['dns', 'a..example', 'csr-san'],
  ['dns', 'a.example.', 'csr-san'],
  ['dns', '10.0.0.1', 'csr-san'],
  ['dns', 'a, DNS:b', 'csr-san'],
  ['dns', 'a\0.example', 'csr-san'],
  ['dns', 'münchen.example', 'csr-san'],
  ['uri', 'urn:x:1', null],
  ['uri', 'https://a.example/b?c#d', null],
  ['uri', 'urn:x:a, URI:spiffe://t/fleet/f/device/d', 'csr-san'],
  ['uri', 'urn:x:"', 'csr-san'],
  ['uri', 'urn:x:ä', 'csr-san'],
  ['uri', 'spiffe://t/fleet/f/device/d', 'csr-san'],
  ['uri', `urn:x:${'a'.repeat(249)}`, null],
  ['uri', `urn:x:${'a'.repeat(250)}`, 'csr-san'],
] as const)('the name %s:%j', (type, value, kind) => {
  const document = profile({ names: [{ type, value: '${device.attributes.v}' }] });
  expect(kindOf(() => leafNamesOf(document, { ...device, attributes: { v: value } }))).toBe(kind);
});

test.each<[string, Partial<ProfileDocument>]>([
  ['a variable that there is not', { subject: [{ attribute: 'O', value: '${device.name}' }] }],
  ['a variable that is not closed', { subject: [{ attribute: 'O', value: '${device.id' }] }],
  ['an attribute name with a dot', { names: [{ type: 'dns', value: '${device.attributes.a.b}' }] }],
  ['a constant that is no host name', { names: [{ type: 'dns', value: 'a b' }] }],
  ['a constant that is no country', { subject: [{ attribute: 'C', value: 'Italy' }] }],
  ['a second SPIFFE ID', { names: [{ type: 'uri', value: 'spiffe://other/${device.id}' }] }],
  ['a scheme out of a variable', { names: [{ type: 'uri', value: '${device.attributes.s}:x' }] }],
  ['a template that is too long', { subject: [{ attribute: 'O', value: 'x${device.id}'.repeat(30) }] }],
  ['no keys', { keys: [] }],
  ['serverAuth alone', { purposes: ['serverAuth'] }],
  ['one certificate only', { maxCertificates: 1 }],
  ['a validity of a second', { validity: '1s' }],
  ['a window that ends before it begins', { renewal: { from: 80, to: 60, retireAfter: '1h' } }],
  [
    'more templates than there may be',
    { subject: Array.from({ length: mostTemplates + 1 }, () => ({ attribute: 'OU' as const, value: 'x' })) },
  ],
])('a profile with %s is refused when it is written', (_what, change) => {
  expect(kindOf(() => readProfile(profile(change)))).toBe('malformed');
});

test('as many templates as there may be are taken', () => {
  const subject = Array.from({ length: mostTemplates }, () => ({ attribute: 'OU' as const, value: 'x' }));
  expect(kindOf(() => readProfile(profile({ subject })))).toBeNull();
});
