/**
 * The server's side of TLS on an accepted socket. tls.Server does the same, and for every connection it also asks TLS what
 * it thinks of the peer's chain, which is an Error with a stack that nobody reads, and stops the handshake half-way to see
 * whether an OCSP answer is wanted: together a twentieth of a connect.
 */
import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';

export interface HandshakeParts {
  readonly context: SecureContext;
  /** As `tls.convertALPNProtocols` has them; none when absent. */
  readonly alpn?: Buffer;
  /** An OCSP answer about the certificate in `context`, for clients that ask (RFC 6066, section 8). */
  readonly staple: Buffer | null;
  /** Once: whoever takes the socket owns its errors. */
  done(socket: TLSSocket): void;
  /** Once: it came to no end; the socket is gone or goes. `leaf` is the DER of the certificate that was shown by then. */
  failed(error: Error | null, leaf: Buffer | null): void;
}

/** What Node keeps inside; each is looked for before it is used. */
interface Innards {
  readonly _handle: { setOCSPResponse?(answer: Buffer): void } | null;
  _releaseControl(): boolean;
}

const ignore = () => {};

/** Asks for a client certificate and judges none. */
export function shakeHands(raw: Socket, { context, alpn, staple, done, failed }: HandshakeParts): void {
  const socket = new TLSSocket(raw, {
    isServer: true,
    secureContext: context,
    requestCert: true,
    rejectUnauthorized: false,
    ...(alpn && { ALPNProtocols: alpn }),
  });
  const innards = socket as unknown as Innards;
  if (staple) innards._handle?.setOCSPResponse?.(staple);
  let isOver = false;
  const fail = (error: Error | null) => {
    if (isOver) return;
    isOver = true;
    // Nothing else may be asked of a handshake that failed: getProtocol() and its like end the process.
    failed(error, socket.getPeerX509Certificate()?.raw ?? null);
    socket.destroy();
  };
  const gone = () => fail(null);
  socket.on('error', fail);
  socket.on('close', gone);
  socket.once('secure', () => {
    if (isOver || socket.destroyed) return;
    isOver = true;
    // As tls.Server does: from here on errors are the socket's own.
    innards._releaseControl();
    socket.off('error', fail);
    socket.off('close', gone);
    socket.on('error', ignore);
    done(socket);
  });
}
