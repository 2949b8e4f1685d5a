/**
 * A TLS handshake that came to nothing: what the socket and OpenSSL have told of it, and, when somebody asks, what that
 * means in plain words and what to do about it. Nobody is judged here: TLS refuses nobody for a certificate.
 */

/** A larger certificate is not kept for those who ask why: no device has one. */
export const maxLeaf = 8 * 1024;

export interface HandshakeFailure {
  /** Address and port as one word. */
  readonly address: string;
  /** Node's code of what OpenSSL said, `ERR_SSL_NO_SHARED_CIPHER`, or of the socket's end, `ECONNRESET`. */
  readonly code: string;
  /** Whether it was our deadline that ended it. */
  readonly late: boolean;
  /** Whether the other side had sent anything at all. */
  readonly spoke: boolean;
  /** DER of the certificate that it had shown by then; null when it came to none. */
  readonly leaf: Buffer | null;
}

export interface FailureWords {
  /** One word for each way to fail: failures of one kind from one address share a place in the journal. */
  readonly word: string;
  readonly what: string;
  readonly todo: string;
}

interface Meaning extends FailureWords {
  readonly codes: RegExp;
}

/** The first that fits. OpenSSL 3.5 names them in `ssl/ssl_err.c`; alerts that came from the client have ALERT in them. */
const meanings: readonly Meaning[] = [
  {
    codes: /^ERR_SSL_HTTPS?_(PROXY_)?REQUEST$/,
    word: 'plain-http',
    what: 'It spoke plain HTTP to a door of TLS.',
    todo: 'Use an https URL, with the client certificate of the device.',
  },
  {
    codes: /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|RECORD_TOO_SMALL)$/,
    word: 'not-tls',
    what: 'Its first bytes are not TLS: plain MQTT, a PROXY header that this listener does not ask for, or a scanner.',
    todo: 'Switch TLS on in the client (mqtts, not mqtt); behind a load balancer, see whether it sends a PROXY header.',
  },
  {
    codes: /ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_(UNKNOWN|EXPIRED|REVOKED)|UNSUPPORTED_CERTIFICATE)/,
    word: 'distrust',
    what: 'The client does not trust the certificate of this door, and said so.',
    todo: 'Give it the CA bundle that `fleetgate ca export` writes, let it connect by a name that is in the certificate of the door, and check its clock.',
  },
  {
    codes:
      /^ERR_SSL_(UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|TLSV1_ALERT_PROTOCOL_VERSION|INAPPROPRIATE_FALLBACK)$/,
    word: 'version',
    what: 'It speaks no version of TLS that this door speaks.',
    todo: 'The client must speak TLS 1.2 or 1.3; the lowest that is taken is `tls.minVersion`.',
  },
  {
    codes: /^ERR_SSL_(NO_SHARED_CIPHER|NO_CIPHERS?_.*)$/,
    word: 'cipher',
    what: 'It offers no cipher suite that this door has; the key of the door is ECDSA.',
    todo: 'Allow a suite such as ECDHE-ECDSA-AES128-GCM-SHA256, or TLS 1.3, in the client.',
  },
  {
    codes:
      /^ERR_SSL_(NO_SUITABLE_KEY_SHARE|NO_SHARED_GROUPS?|NO_SUITABLE_GROUPS|BAD_KEY_SHARE|WRONG_CURVE|BAD_ECPOINT)$/,
    word: 'group',
    what: 'It offers no group for the key agreement that this door has.',
    todo: 'Allow one of `tls.groups` in the client, such as X25519 or P-256.',
  },
  {
    codes: /^ERR_SSL_(NO_SUITABLE_SIGNATURE_ALGORITHM|NO_SHARED_SIGNATURE_ALGORITHMS|WRONG_SIGNATURE_TYPE)$/,
    word: 'signature-algorithm',
    what: 'It offers no signature algorithm for the key of this door, or signed with one that may not be used.',
    todo: 'Allow ECDSA with SHA-256 in the client.',
  },
  {
    codes: /^ERR_SSL_NO_APPLICATION_PROTOCOL$/,
    word: 'alpn',
    what: 'It asks by ALPN for a protocol that this door does not speak.',
    todo: 'Ask for a protocol of this door, or for none.',
  },
  {
    codes:
      /^ERR_SSL_(PROVIDER_SIGNATURE_FAILURE|BAD_SIGNATURE|DIGEST_CHECK_FAILED|BLOCK_TYPE_IS_NOT_01)$|^ERR_OSSL_(RSA|EC|EVP)_.*SIGNATURE/,
    word: 'possession',
    what: 'It showed a certificate and could not prove that it has its key: the signature over the handshake is wrong.',
    todo: 'Pair the certificate with the key that it was issued for; if the device is not yours, somebody tries to pass for it.',
  },
  {
    codes: /^ERR_SSL_EXCESSIVE_MESSAGE_SIZE$/,
    word: 'too-large',
    what: 'A message of its handshake is larger than TLS here takes: 100 kB of certificates.',
    todo: 'Let the client send its certificate and its intermediates, and nothing else.',
  },
  {
    codes:
      /ASN1|^ERR_OSSL_(X509|PEM|DECODER)|^ERR_SSL_(CERT|BAD_CERTIFICATE|.*CERTIFICATE.*|UNABLE_TO_FIND_PUBLIC_KEY|EE_KEY_TOO_SMALL|UNKNOWN_CERTIFICATE_TYPE)/,
    word: 'certificate',
    what: 'The certificate that it showed, or the key in it, cannot be used for TLS.',
    todo: 'Look at it with `openssl x509 -text`; enroll the device anew.',
  },
  {
    codes: /ALERT/,
    word: 'alert',
    what: 'The client ended the handshake with an alert.',
    todo: 'See its log: the alert is the reason that it gave.',
  },
];

const silent: FailureWords = {
  word: 'silent',
  what: 'It opened a connection and went away without a byte of TLS: a health check, a scanner, or a lost network.',
  todo: 'Nothing, unless it is a device of yours; then see whether something between cuts its connections.',
};
const hungUp: FailureWords = {
  word: 'hung-up',
  what: 'It went away in the middle of the handshake without a word.',
  todo: 'Most often the client does not trust the certificate of this door: give it the CA bundle that `fleetgate ca export` writes, and let it connect by a name that is in that certificate.',
};
const late: FailureWords = {
  word: 'late',
  what: 'The handshake was not done in time.',
  todo: 'A slow network may need a longer `limits.handshakeTimeout`; many of these from one address are an attack, which `limits.connectionsPerAddress` bounds.',
};
const other: FailureWords = {
  word: 'other',
  what: 'The handshake broke a rule of TLS.',
  todo: 'Try `openssl s_client` from where the device is; the code names what OpenSSL has found.',
};

export function wordsOfFailure(failure: HandshakeFailure): FailureWords {
  if (failure.late) return late;
  if (!failure.code.startsWith('ERR_')) return failure.spoke ? hungUp : silent;
  return meanings.find(({ codes }) => codes.test(failure.code)) ?? other;
}
