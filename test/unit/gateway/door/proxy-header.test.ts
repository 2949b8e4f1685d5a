/** PROXY headers, versions 1 and 2: what another writer has written is read, and nothing else is. */
import { SocketAddress } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readProxyHeader } from '../../../../gateway/door/proxy-header.ts';
import { bare2, castagnoli, version1, version2 } from '../../../harness/proxy-writer.ts';

const longest = 4096;
const read = (bytes: Uint8Array) => readProxyHeader(Buffer.from(bytes), longest);

const port = fc.integer({ min: 0, max: 65_535 });
const canonical = (address: string, family: 'ipv4' | 'ipv6') =>
  new SocketAddress({ address, family }).address;
const pair = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4(), fc.constant<'ipv4' | 'ipv6'>('ipv4')),
  fc
    .tuple(
      fc.array(fc.integer({ min: 0, max: 65_535 }), { minLength: 8, maxLength: 8 }),
      fc.array(fc.constantFrom(0, 1), { minLength: 8, maxLength: 8 }),
    )
    .map(([a, b]) => {
      const text = (groups: number[]) => groups.map((group) => group.toString(16)).join(':');
      return [text(a), text(b), 'ipv6'] as const;
    }),
);
const rest = fc.uint8Array({ maxLength: 40 });

test('the writer knows its checksum (RFC 3720, appendix B.4)', () => {
  expect(castagnoli(Buffer.from('123456789'))).toBe(0xe306_9283);
});

test('version 1: whom it names is read, and where it ends', () => {
  fc.assert(
    fc.property(pair, port, port, rest, ([source, destination], from, to, behind) => {
      const header = version1(source, from, destination, to);
      expect(read(Buffer.concat([header, behind]))).toEqual({
        what: 'header',
        length: header.length,
        source: { address: source, port: from },
      });
      for (let cut = 1; cut < header.length; cut++)
        expect(read(header.subarray(0, cut))).toEqual({ what: 'incomplete' });
    }),
    { numRuns: 50 },
  );
});

test('version 2: whom it names is read over extras of all kinds, with a checksum or without', () => {
  const extras = fc.array(
    fc.tuple(
      fc.integer({ min: 0, max: 255 }).filter((type) => type !== 3),
      fc.uint8Array({ maxLength: 200 }),
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(
      pair,
      port,
      extras,
      fc.boolean(),
      rest,
      ([source, destination, family], from, tlvs, checksum, behind) => {
        const header = version2({
          source,
          destination,
          sourcePort: from,
          destinationPort: 8883,
          extras: tlvs,
          checksum,
        });
        expect(read(Buffer.concat([header, behind]))).toEqual({
          what: 'header',
          length: header.length,
          source: { address: canonical(source, family), port: from },
        });
        for (let cut = 1; cut < header.length; cut += 1 + (cut % 7))
          expect(read(header.subarray(0, cut))).toEqual({ what: 'incomplete' });
      },
    ),
    { numRuns: 100 },
  );
});

test('version 2: a byte that changed on its way is found by the checksum', () => {
  const header = version2({
    source: '192.0.2.1',
    destination: '192.0.2.2',
    sourcePort: 1,
    destinationPort: 2,
    extras: [[0xea, Buffer.from('vpce-1')]],
    checksum: true,
  });
  for (let at = 16; at < 28; at++) {
    const changed = Buffer.from(header);
    changed[at]! ^= 0x10;
    expect(read(changed)).toEqual({ what: 'broken', why: 'its checksum is wrong' });
  }
});

test('any bytes are judged without an exception, and no more is taken than is there', () => {
  const beginnings = [version1('192.0.2.1', 1), bare2(1, 0x11), bare2(1, 0x21), Buffer.from('PROXY ')];
  fc.assert(
    fc.property(
      fc.constantFrom(Buffer.alloc(0), ...beginnings),
      fc.uint8Array({ maxLength: 300 }),
      (begin, noise) => {
        const bytes = Buffer.concat([begin, noise]);
        const header = readProxyHeader(bytes, longest);
        if (header.what === 'header') expect(header.length).toBeLessThanOrEqual(bytes.length);
      },
    ),
    { numRuns: 2_000 },
  );
});

const tcp4 = { source: '192.0.2.1', destination: '192.0.2.2', sourcePort: 1, destinationPort: 2 };

test.each<[string, Buffer]>([
  ['version 1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n')],
  ['version 1 UNKNOWN with more', Buffer.from('PROXY UNKNOWN ffff:f:f 65535 65535\r\n')],
  ['version 2 LOCAL', bare2(0, 0)],
  ['version 2 LOCAL with an address', version2({ ...tcp4, command: 0 })],
  [
    'version 2 LOCAL with extras that are none',
    Buffer.concat([version2({ ...tcp4, command: 0, family: 0x31 })]),
  ],
  ['version 2 of no family', bare2(1, 0)],
])('%s: the proxy speaks for itself', (_what, bytes) => {
  expect(read(bytes)).toEqual({ what: 'header', length: bytes.length, source: null });
});

const cut = (bytes: Buffer, length: number): Buffer => {
  const shorter = Buffer.from(bytes.subarray(0, 16 + length));
  shorter.writeUInt16BE(length, 14);
  return shorter;
};

test.each<[string, Buffer | string]>([
  ['of 108 bytes without an end', `PROXY TCP4 ${'1'.repeat(97)}`],
  ['whose end comes after 107 bytes', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`],
  ['of another protocol', 'PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n'],
  ['in small letters', 'PROXY tcp4 1.1.1.1 1.1.1.1 1 1\r\n'],
  ['with an IPv6 address for IPv4', 'PROXY TCP4 ::1 ::1 1 1\r\n'],
  ['with an IPv4 address for IPv6', 'PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n'],
  ['with an address of another network', 'PROXY TCP6 fe80::1%lo ::1 1 1\r\n'],
  ['with an octal address', 'PROXY TCP4 010.1.1.1 1.1.1.1 1 1\r\n'],
  ['with a port beyond', 'PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n'],
  ['with a port with zeros', 'PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n'],
  ['with a port below', 'PROXY TCP4 1.1.1.1 1.1.1.1 -1 1\r\n'],
  ['without a port', 'PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n'],
  ['with two spaces', 'PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n'],
  ['with more behind', 'PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n'],
  ['that is empty', 'PROXY \r\n'],
  ['of version 1 in the second form', version2({ ...tcp4, version: 1 })],
  ['of an unknown command', version2({ ...tcp4, command: 2 })],
  ['for a UNIX socket', version2({ ...tcp4, family: 0x31 })],
  ['for UDP', version2({ ...tcp4, family: 0x12 })],
  ['of an unknown family', version2({ ...tcp4, family: 0x41 })],
  ['with half an address', cut(version2(tcp4), 11)],
  ['with an IPv4 address for IPv6, second form', version2({ ...tcp4, family: 0x21 })],
  [
    'with an extra cut off in its head',
    Buffer.concat([cut(version2({ ...tcp4, extras: [[4, Buffer.alloc(2)]] }), 14)]),
  ],
  ['with an extra cut off in its body', cut(version2({ ...tcp4, extras: [[4, Buffer.alloc(9)]] }), 20)],
  ['with a checksum of three bytes', version2({ ...tcp4, extras: [[3, Buffer.alloc(3)]] })],
  ['that announces more than may be', Buffer.concat([bare2(1, 0x11).fill(0x10, 14, 16), Buffer.alloc(10)])],
])('a header %s is broken', (_what, bytes) => {
  expect(read(Buffer.from(bytes as string)).what).toBe('broken');
});

test.each<[string, string]>([
  ['a TLS handshake', '\x16\x03\x01\x02\x00'],
  ['an HTTP request', 'POST / HTTP/1.1\r\n'],
  ['nearly version 1', 'PROXIES'],
  ['nearly version 2', '\r\n\r\n\0\r\nQUITE'],
])('%s is none', (_what, bytes) => {
  expect(read(Buffer.from(bytes, 'latin1'))).toEqual({ what: 'none' });
});
