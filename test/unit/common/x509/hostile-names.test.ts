/** Names that must not be trusted: name constraints by type, and names that are spelt to deceive. */
import { context, integer, sequence, text, tlv } from '../../../harness/der-writer.ts';
import {
  attribute,
  cn,
  directory,
  dns,
  email,
  extension,
  ip,
  nameOf,
  noName,
  otherName,
  uri,
} from '../../../harness/forged-certificate.ts';
import type { Chain } from '../../../harness/judged-chain.ts';
import { caWith, chain, constrained, named, testHostile } from '../../../harness/plant-chain.ts';

const hostile: readonly (readonly [string, string, () => Chain])[] = [
  // names
  [
    'a permitted dNSName missed',
    'name-constraints',
    () => chain(named(dns('pump-7.other.example')), constrained([dns('plant.example')])),
  ],
  [
    'a dNSName that only ends alike',
    'name-constraints',
    () => chain(named(dns('evilplant.example')), constrained([dns('plant.example')])),
  ],
  [
    'an excluded dNSName',
    'name-constraints',
    () => chain(named(dns('a.PLANT.example')), constrained([], [dns('plant.example')])),
  ],
  [
    'a wildcard above an excluded dNSName',
    'name-constraints',
    () => chain(named(dns('*.plant.example')), constrained([], [dns('secret.plant.example')])),
  ],
  [
    'a wildcard wider than what is permitted',
    'name-constraints',
    () => chain(named(dns('*.plant.example')), constrained([dns('a.plant.example')])),
  ],
  ['a permitted URI host missed', 'name-constraints', () => chain({}, constrained([uri('other.example')]))],
  [
    'a URI host below one that is meant alone',
    'name-constraints',
    () => chain({}, constrained([uri('.plant.example')])),
  ],
  ['an excluded URI host', 'name-constraints', () => chain({}, constrained([], [uri('plant.example')]))],
  [
    'an excluded URI host behind user and port',
    'name-constraints',
    () => chain(named(uri('coap://x:y@plant.example:5684/')), constrained([], [uri('plant.example')])),
  ],
  [
    'a URI without a host under a constraint',
    'name-constraints',
    () => chain(named(uri('urn:dev:mac:0024befffe804ff1')), constrained([], [uri('plant.example')])),
  ],
  [
    'a URI with an address under a constraint',
    'name-constraints',
    () => chain(named(uri('coap://192.0.2.1/')), constrained([uri('plant.example')])),
  ],
  [
    'a permitted mail host missed',
    'name-constraints',
    () => chain(named(email('ops@other.example')), constrained([email('plant.example')])),
  ],
  [
    'an excluded mailbox',
    'name-constraints',
    () => chain(named(email('ops@plant.example')), constrained([], [email('ops@Plant.example')])),
  ],
  [
    'an excluded mail host in the subject',
    'name-constraints',
    () =>
      chain(
        { subject: nameOf([attribute('1.2.840.113549.1.9.1', text(0x16, 'ops@plant.example'))]) },
        constrained([], [email('plant.example')]),
      ),
  ],
  [
    'a permitted network missed',
    'name-constraints',
    () => chain(named(ip('c0000301')), constrained([ip('c0000200ffffff00')])),
  ],
  [
    'an excluded IPv6 network',
    'name-constraints',
    () =>
      chain(
        named(ip('20010db8000000000000000000000001')),
        constrained([], [ip(`20010db8${'00'.repeat(12)}ffffffff${'00'.repeat(12)}`)]),
      ),
  ],
  [
    'a mask with a hole',
    'name-constraints',
    () => chain(named(ip('c0000201')), constrained([ip('c0000200ff00ff00')])),
  ],
  ['a permitted subject missed', 'name-constraints', () => chain({}, constrained([directory(cn('pump-8'))]))],
  [
    'an excluded subject in other letters',
    'name-constraints',
    () =>
      chain(
        { subject: nameOf([attribute('2.5.4.3', text(0x13, 'PUMP-7 '))]) },
        constrained([], [directory(cn('pump-7'))]),
      ),
  ],
  [
    'an excluded subject as a BMPString',
    'name-constraints',
    () =>
      chain(
        { subject: nameOf([attribute('2.5.4.3', tlv(0x1e, Buffer.from('pump-7', 'utf16le').swap16()))]) },
        constrained([], [directory(cn('pump-7'))]),
      ),
  ],
  [
    'an otherName under a constraint on such',
    'name-constraints',
    () =>
      chain(
        named(otherName('1.3.6.1.4.1.55738.1', integer(1))),
        constrained([], [otherName('1.3.6.1.4.1.55738.1', integer(2))]),
      ),
  ],
  [
    'a constraint of the anchor, two issuers up',
    'name-constraints',
    () => chain(named(dns('a.example')), {}, constrained([dns('plant.example')])),
  ],
  [
    'a constraint with a wildcard',
    'name-constraints',
    () => chain(named(dns('a.plant.example')), constrained([dns('*.plant.example')])),
  ],
  [
    'name constraints that are not critical',
    'extension-criticality',
    () =>
      caWith({
        nameConstraints: extension('2.5.29.30', sequence(context(0, sequence(dns('plant.example'))))),
      }),
  ],
  ['`, ` in a dNSName', 'alternative-name', () => chain(named(dns('a.example, DNS:pump-8.example')))],
  [
    '`, ` in a URI',
    'alternative-name',
    () => chain(named(uri('spiffe://plant.example/fleet/a, URI:spiffe://plant.example/fleet/b'))),
  ],
  ['an address as a dNSName', 'alternative-name', () => chain(named(dns('192.0.2.1')))],
  ['a wildcard in the middle', 'alternative-name', () => chain(named(dns('a.*.example')))],
  ['a mailbox with two hosts', 'alternative-name', () => chain(named(email('a@b@plant.example')))],
  ['a relative URI', 'alternative-name', () => chain(named(uri('//plant.example/fleet')))],
  [
    'neither subject nor alternative names',
    'empty-name',
    () => chain({ subject: noName, extensions: { altNames: null } }),
  ],
  [
    'no subject, and alternative names that are not critical',
    'extension-criticality',
    () => chain({ subject: noName }),
  ],
];

testHostile(hostile);
