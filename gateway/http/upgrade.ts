/**
 * From HTTP to MQTT over WebSocket (RFC 6455, section 4.2; MQTT 5, section 6): whether a request may become one, and the
 * handing over of its socket. Who asks is judged like any request before; the CONNECT is judged again by itself.
 */
import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { Fault } from '#common/fault.ts';
import { problemHeaders, problemOf } from '#common/http/problem.ts';
import { WebSocketWire } from '../door/websocket.ts';
import type { Wire } from '../door/wire.ts';
import type { HttpSession } from './session.ts';

const path = '/mqtt';
const subprotocol = 'mqtt';
const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/**
 * Whether a request is for the WebSocket; what else asks for an upgrade is answered as if it had not (RFC 9110, section
 * 7.8). One with a body is not: Node would keep the socket to itself until the body has been read.
 */
export const isForMqtt = ({ url = '', headers }: Pick<IncomingMessage, 'url' | 'headers'>): boolean =>
  url.split('?', 1)[0] === path && (headers.upgrade ?? '').toLowerCase() === 'websocket' && !hasBody(headers);

const hasBody = (headers: IncomingMessage['headers']): boolean =>
  headers['transfer-encoding'] !== undefined || headers['content-length'] !== undefined;

/** Whether an upgrade is well asked for, and not by a page of somebody else's. Null, or why not. Pure. */
export function refusalOf(
  { method, headers, httpVersion }: Pick<IncomingMessage, 'method' | 'headers' | 'httpVersion'>,
  origins: readonly string[],
): Fault | null {
  const malformed = (what: string) => new Fault('malformed', `This is no opening of a WebSocket: ${what}.`);
  if (method !== 'GET' || httpVersion !== '1.1') return malformed('it is a GET of HTTP/1.1');
  if (hasBody(headers)) return malformed('it has no body');
  if (!/^[A-Za-z0-9+/]{22}==$/.test(headers['sec-websocket-key'] ?? ''))
    return malformed('Sec-WebSocket-Key is the base64 of 16 bytes');
  if (headers['sec-websocket-version'] !== '13') return malformed('Sec-WebSocket-Version is 13');
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim());
  if (!offered.includes(subprotocol)) return malformed('Sec-WebSocket-Protocol names mqtt'); // [MQTT-6.0.0-3]
  const { origin, host } = headers;
  if (origin === undefined || origins.includes(origin) || isSameHost(origin, host)) return null;
  return new Fault('forbidden', `Pages of ${origin} may not connect; https.origins lists those that may.`);
}

/** A page of this very host: then the browser has checked our certificate, and nobody else's script speaks. */
const isSameHost = (origin: string, host: string | undefined): boolean =>
  host !== undefined &&
  URL.canParse(origin) &&
  URL.canParse(`https://${host}`) &&
  new URL(origin).host === new URL(`https://${host}`).host;

/** The client has seen a server that understood (section 4.2.2, item 5.4). */
export const acceptOf = (key: string): string => hash('sha1', key + magic, 'base64');

export interface UpgradeParts {
  origins: readonly string[];
  /** Who is at the other end, as at any request. */
  guest: () => HttpSession | Fault | Promise<HttpSession | Fault>;
  /** The HTTP session has come to its end; the connection goes on. */
  retire: (session: HttpSession) => void;
  take: (wire: Wire) => void;
}

/** Answers an upgrade request on its raw socket; `head` is what came behind it. Never rejects. */
export async function upgrade(
  request: IncomingMessage,
  socket: TLSSocket,
  head: Buffer,
  { origins, guest, retire, take }: UpgradeParts,
): Promise<void> {
  const fault = refusalOf(request, origins);
  if (fault) return refuse(socket, fault);
  let session: HttpSession | Fault;
  try {
    session = await guest();
  } catch (thrown) {
    session = Fault.of(thrown);
  }
  if (socket.destroyed) return;
  if (session instanceof Fault) return refuse(socket, session);
  retire(session);
  const accept = acceptOf(request.headers['sec-websocket-key']!);
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${subprotocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  take(new WebSocketWire(socket));
}

function refuse(socket: TLSSocket, fault: Fault): void {
  const problem = problemOf(fault);
  const body = JSON.stringify(problem);
  const headers = Object.entries({
    ...problemHeaders(fault),
    'content-length': String(Buffer.byteLength(body)),
    connection: 'close',
    'sec-websocket-version': '13',
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(`HTTP/1.1 ${problem.status} ${problem.title}\r\n${lines}\r\n${body}`);
  socket.destroySoon();
}
