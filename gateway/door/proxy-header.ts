/**
 * The header by which a proxy says for whom it has connected (the PROXY protocol of HAProxy, versions 1 and 2): a pure
 * reader of bytes. Who may say such a thing is judged elsewhere. Clauses are those of its specification.
 */
import { isIPv4, isIPv6, SocketAddress } from 'node:net';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

export type ProxyHeader =
  /** What is there may become one. */
  | { readonly what: 'incomplete' }
  /** What is there is the beginning of something else. */
  | { readonly what: 'none' }
  | { readonly what: 'broken'; readonly why: string }
  /** `length` bytes are the header's. `source` is null when the proxy speaks for itself (LOCAL) or does not know for whom. */
  | { readonly what: 'header'; readonly length: number; readonly source: Endpoint | null };

const prefix1 = Buffer.from('PROXY ');
/** Section 2.1: with its CRLF. */
const longest1 = 107;
/** Section 2.2. */
const signature2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const head2 = 16;
const commands = { local: 0, proxy: 1 } as const;
const families = { unspecified: 0x00, tcp4: 0x11, tcp6: 0x21 } as const;
const crc32cType = 0x03;

const incomplete: ProxyHeader = { what: 'incomplete' };
const broken = (why: string): ProxyHeader => ({ what: 'broken', why });

/** Reads the beginning of a connection. `longest` bounds what version 2 announces, in bytes behind its first 16. */
export function readProxyHeader(bytes: Buffer, longest: number): ProxyHeader {
  if (begins(bytes, prefix1)) return bytes.length < prefix1.length ? incomplete : readVersion1(bytes);
  if (begins(bytes, signature2)) return bytes.length < head2 ? incomplete : readVersion2(bytes, longest);
  return { what: 'none' };
}

/** Whether the bytes are the beginning of the mark, or begin with it. */
function begins(bytes: Buffer, mark: Buffer): boolean {
  const length = Math.min(bytes.length, mark.length);
  return bytes.compare(mark, 0, length, 0, length) === 0;
}

function readVersion1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, longest1).indexOf('\r\n');
  if (end < 0) return bytes.length < longest1 ? incomplete : broken('its line does not end within 107 bytes');
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  const [, protocol, source = '', destination = '', sourcePort = '', destinationPort = '', ...more] =
    line.split(' ');
  // Everything behind UNKNOWN is to be ignored.
  if (protocol === 'UNKNOWN') return { what: 'header', length, source: null };
  const isAddress = protocol === 'TCP4' ? isIPv4 : protocol === 'TCP6' ? isIPv6 : null;
  if (!isAddress) return broken('it is neither TCP4, TCP6 nor UNKNOWN');
  if (!isAddress(source) || !isAddress(destination) || source.includes('%'))
    return broken('its addresses are not of its family');
  const port = portOf(sourcePort);
  if (port === null || portOf(destinationPort) === null || more.length > 0)
    return broken('it does not end with two ports');
  return { what: 'header', length, source: { address: source, port } };
}

/** Decimal, without leading zeros. */
function portOf(text: string): number | null {
  const port = /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : -1;
  return port >= 0 && port <= 65_535 ? port : null;
}

function readVersion2(bytes: Buffer, longest: number): ProxyHeader {
  const versionAndCommand = bytes[12]!;
  const family = bytes[13]!;
  const size = bytes.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return broken('its version is not 2');
  const command = versionAndCommand & 15;
  if (command !== commands.local && command !== commands.proxy) return broken('its command is not known');
  if (size > longest) return broken(`it announces ${size} bytes, and ${longest} are the most here`);
  const length = head2 + size;
  if (bytes.length < length) return incomplete;
  // A health check of the proxy itself: whatever it holds is to be discarded.
  if (command === commands.local) return { what: 'header', length, source: null };
  if (family === families.unspecified) return { what: 'header', length, source: null };
  if (family !== families.tcp4 && family !== families.tcp6)
    return broken('it speaks of something that is not TCP');
  const addressLength = family === families.tcp4 ? 4 : 16;
  const rest = head2 + 2 * addressLength + 4;
  if (rest > length) return broken('its addresses are cut off');
  const wrong = judgeExtras(bytes.subarray(0, length), rest);
  if (wrong !== null) return broken(wrong);
  const address = textOf(bytes.subarray(head2, head2 + addressLength));
  return { what: 'header', length, source: { address, port: bytes.readUInt16BE(rest - 4) } };
}

/**
 * The extras (TLV) are passed over, but for the checksum. What the proxy says of a TLS of its own is not heard: the
 * gateway's is the one that counts.
 */
function judgeExtras(header: Buffer, start: number): string | null {
  let at = start;
  while (at < header.length) {
    if (at + 3 > header.length) return 'an extra is cut off';
    const type = header[at]!;
    const end = at + 3 + header.readUInt16BE(at + 1);
    if (end > header.length) return 'an extra is cut off';
    if (type === crc32cType) {
      if (end !== at + 7) return 'its checksum is not of four bytes';
      // Section 2.2.3: over the whole header, with zeros for the checksum itself.
      const checked = Buffer.from(header);
      checked.fill(0, at + 3, end);
      if (crc32c(checked) !== header.readUInt32BE(at + 3)) return 'its checksum is wrong';
    }
    at = end;
  }
  return null;
}

function textOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_none, index) => bytes.readUInt16BE(index * 2).toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

/** Castagnoli's polynomial, reflected (RFC 3720, appendix B.4); zlib has the other. */
const table = Uint32Array.from({ length: 256 }, (_none, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f6_3b78 : value >>> 1;
  return value;
});

function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}
