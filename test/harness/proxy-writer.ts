/** Writes PROXY headers by their specification, independently of the gateway's reader: sound ones, and any others. */
import { isIPv4 } from 'node:net';

export interface Proxied2 {
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  /** Type and value of each extra. */
  extras?: readonly (readonly [number, Uint8Array])[];
  checksum?: boolean;
  command?: number;
  version?: number;
  /** Family and protocol; by the addresses otherwise. */
  family?: number;
}

export const version1 = (
  source: string,
  sourcePort: number,
  destination = '127.0.0.1',
  port = 8883,
): Buffer =>
  Buffer.from(`PROXY ${isIPv4(source) ? 'TCP4' : 'TCP6'} ${source} ${destination} ${sourcePort} ${port}\r\n`);

export function version2(what: Proxied2): Buffer {
  const { source, destination, sourcePort, destinationPort, extras = [], checksum = false } = what;
  const family = what.family ?? (isIPv4(source) ? 0x11 : 0x21);
  const body: number[] = [...packed(source), ...packed(destination)];
  for (const port of [sourcePort, destinationPort]) body.push(port >> 8, port & 255);
  for (const [type, value] of extras) body.push(type, value.length >> 8, value.length & 255, ...value);
  const checksumAt = 16 + body.length + 3;
  if (checksum) body.push(0x03, 0, 4, 0, 0, 0, 0);
  const bytes = Buffer.from([
    ...[0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a],
    ((what.version ?? 2) << 4) | (what.command ?? 1),
    family,
    body.length >> 8,
    body.length & 255,
    ...body,
  ]);
  if (checksum) bytes.writeUInt32BE(castagnoli(bytes), checksumAt);
  return bytes;
}

/** A header with nothing but its first 16 bytes. */
export const bare2 = (command: number, family: number): Buffer =>
  version2({ source: '1.1.1.1', destination: '1.1.1.1', sourcePort: 0, destinationPort: 0, command, family })
    .subarray(0, 16)
    .map((byte, index) => (index === 14 || index === 15 ? 0 : byte)) as Buffer;

function packed(address: string): number[] {
  if (isIPv4(address)) return address.split('.').map(Number);
  const [head = '', tail] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [before, after] = [groups(head), groups(tail ?? '')];
  const all =
    tail === undefined ? before : [...before, ...Array(8 - before.length - after.length).fill('0'), ...after];
  return all.flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

/** CRC-32C bit by bit, not reflected: bits are turned around instead (RFC 3720, appendix B.4). */
export function castagnoli(bytes: Uint8Array): number {
  const turned = (value: number, bits: number) =>
    Number.parseInt((value >>> 0).toString(2).padStart(bits, '0').split('').reverse().join(''), 2);
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc = (crc ^ (turned(byte, 8) << 24)) >>> 0;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000_0000 ? (crc << 1) ^ 0x1edc_6f41 : crc << 1) >>> 0;
  }
  return turned((crc ^ 0xffff_ffff) >>> 0, 32);
}
