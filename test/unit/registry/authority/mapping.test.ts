/** Which device a certificate speaks for: each source, read from what openssl has signed; what is ambiguous is nobody. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { certificatesDer } from '#common/x509/pem.ts';
import { deviceOf, type MappingRule, problemOfRule } from '../../../../registry/authority/mapping.ts';
import { ForeignCa } from '../../../harness/foreign-ca.ts';
import { withPrograms } from '../../../harness/peer-program.ts';

withPrograms(['openssl'], 'mapping', () => {
  let dir: string;
  let rich: Certificate;
  let plain: Certificate;

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'mapping-'));
    const maker = ForeignCa.root(dir, 'maker');
    const read = (name: string, options: object) =>
      readCertificate(certificatesDer(maker.leaf(name, '', options).certificate)[0]!);
    rich = read('rich', {
      subject: '/O=Acme/serialNumber=SN-0042/CN=Valve 7 of 9',
      extensions: ['subjectAltName=@names'],
      sections: `[names]
URI.1 = urn:dev:mac:0024befffe804ff1
URI.2 = https://acme.example/devices/valve-7
DNS.1 = first.acme.example
DNS.2 = second.acme.example
otherName.1 = 1.3.6.1.4.1.99999.1;UTF8:other-7
otherName.2 = 1.3.6.1.4.1.99999.2;FORMAT:HEX,OCT:00ff10
otherName.3 = 1.3.6.1.5.5.7.8.4;SEQ:hmn
[hmn]
type = OID:1.3.6.1.4.1.99999.7
serial = FORMAT:ASCII,OCT:HW-77
`,
    });
    plain = read('plain', { subject: '/CN=gauge:3' });
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  test.each<[string, MappingRule, string | null]>([
    ['a URI by its prefix', { from: 'uri', pattern: 'urn:dev:mac:{id}' }, '0024befffe804ff1'],
    ['a URI in the middle', { from: 'uri', pattern: 'https://acme.example/devices/{id}' }, 'valve-7'],
    [
      'a URI by its place',
      { from: 'uri', index: 1, pattern: 'https://acme.example/devices/{id}' },
      'valve-7',
    ],
    [
      'a URI that is not at its place',
      { from: 'uri', index: 0, pattern: 'https://acme.example/devices/{id}' },
      null,
    ],
    ['a URI that is no device id as a whole', { from: 'uri', index: 1 }, null],
    ['a DNS name by its suffix and place', { from: 'dns', index: 1, pattern: '{id}.acme.example' }, 'second'],
    ['two DNS names that both fit', { from: 'dns', pattern: '{id}.acme.example' }, null],
    ['the one DNS name that fits', { from: 'dns', pattern: 'fir{id}.acme.example' }, 'st'],
    ['a place that is not there', { from: 'dns', index: 2, pattern: '{id}.acme.example' }, null],
    ['an otherName that is a string', { from: 'otherName', type: '1.3.6.1.4.1.99999.1' }, 'other-7'],
    [
      'an otherName of octets, as hex',
      { from: 'otherName', type: '1.3.6.1.4.1.99999.2', encoding: 'hex' },
      '00ff10',
    ],
    ['octets that are no text', { from: 'otherName', type: '1.3.6.1.4.1.99999.2' }, null],
    ['a string is not hex', { from: 'otherName', type: '1.3.6.1.4.1.99999.1', encoding: 'hex' }, null],
    ['the serial number of a hardware module', { from: 'otherName', type: '1.3.6.1.5.5.7.8.4' }, 'HW-77'],
    ['the same as hex', { from: 'otherName', type: '1.3.6.1.5.5.7.8.4', encoding: 'hex' }, '48572d3737'],
    ['an otherName of another type', { from: 'otherName', type: '1.3.6.1.4.1.99999.9' }, null],
    ['the serialNumber of the subject', { from: 'serialNumber', pattern: 'SN-{id}' }, '0042'],
    ['an attribute of the subject', { from: 'subject', type: '2.5.4.10' }, 'Acme'],
    ['a CN with spaces', { from: 'commonName' }, null],
    ['a pattern longer than the value', { from: 'serialNumber', pattern: 'SN-0042{id}' }, null],
    ['a prefix and a suffix that overlap', { from: 'serialNumber', pattern: 'SN-00{id}-0042' }, null],
  ])('%s', (_what, rule, device) => {
    expect(deviceOf(rich, [rule])).toBe(device);
  });

  test('the first rule that yields a device id wins', () => {
    const rules: MappingRule[] = [{ from: 'dns' }, { from: 'commonName' }, { from: 'serialNumber' }];
    expect(deviceOf(plain, rules)).toBe('gauge:3');
    expect(deviceOf(rich, rules)).toBe('SN-0042');
    expect(deviceOf(plain, [{ from: 'uri' }])).toBeNull();
  });

  test.each<[MappingRule, RegExp]>([
    [{ from: 'subject' }, /needs a type/],
    [{ from: 'otherName' }, /needs a type/],
    [{ from: 'uri', type: '1.2.3' }, /has no type/],
    [{ from: 'uri', encoding: 'hex' }, /only a rule from otherName/],
    [{ from: 'uri', pattern: 'urn:dev:*' }, /exactly once/],
    [{ from: 'uri', pattern: '{id}{id}' }, /exactly once/],
  ])('%o cannot be used', (rule, why) => {
    expect(problemOfRule(rule)).toMatch(why);
  });
});
