/** OCSP as a client written by others sees it: requests built and answers read by @peculiar/asn1-ocsp. */
import { createHash, verify, X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import * as ocsp from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier, Extension } from '@peculiar/asn1-x509';
import type { IssuerIdentity } from '../../registry/ca/issuer-identity.ts';

const oids = { sha1: '1.3.14.3.2.26', sha256: '2.16.840.1.101.3.4.2.1' } as const;

export interface Ask {
  by?: keyof typeof oids;
  nonce?: Uint8Array;
}

/** A request in DER for serial numbers (hex) of one issuer. */
export function ocspRequest(
  issuer: IssuerIdentity,
  serials: readonly string[],
  { by = 'sha1', nonce }: Ask = {},
): Buffer {
  const digest = (part: Buffer) => new OctetString(createHash(by).update(part).digest());
  const requestList = serials.map(
    (serial) =>
      new ocsp.Request({
        reqCert: new ocsp.CertID({
          hashAlgorithm: new AlgorithmIdentifier({ algorithm: oids[by], parameters: null }),
          issuerNameHash: digest(issuer.name),
          issuerKeyHash: digest(issuer.publicKeyBits),
          serialNumber: Uint8Array.from(Buffer.from(serial, 'hex')).buffer,
        }),
      }),
  );
  const requestExtensions = nonce && [
    new Extension({
      extnID: ocsp.id_pkix_ocsp_nonce,
      extnValue: new OctetString(AsnConvert.serialize(new OctetString(nonce))),
    }),
  ];
  const tbsRequest = new ocsp.TBSRequest({ requestList, ...(requestExtensions && { requestExtensions }) });
  return Buffer.from(AsnConvert.serialize(new ocsp.OCSPRequest({ tbsRequest })));
}

export interface ReadAnswer {
  /** OCSPResponseStatus. */
  readonly code: ocsp.OCSPResponseStatus;
  readonly statuses: readonly ('good' | 'revoked' | 'unknown')[];
  readonly revokedMs: number | null;
  readonly reason: number | null;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly nonce: Buffer | null;
  readonly signer: X509Certificate;
  /** Whether the signature is one of the certificate that came with it, which is named by its key. */
  readonly verified: boolean;
}

/** Throws for an error response, which has nothing more to read; `ocspCode` reads that. */
export function readAnswer(der: Buffer): ReadAnswer {
  const response = AsnConvert.parse(der, ocsp.OCSPResponse);
  const basic = AsnConvert.parse(response.responseBytes!.response.buffer, ocsp.BasicOCSPResponse);
  const data = basic.tbsResponseData;
  const signer = new X509Certificate(Buffer.from(AsnConvert.serialize(basic.certs![0]!)));
  const [first] = data.responses;
  const { revoked } = first!.certStatus;
  const found = data.responseExtensions?.find(({ extnID }) => extnID === ocsp.id_pkix_ocsp_nonce);
  const spki = signer.publicKey.export({ type: 'spki', format: 'der' });
  // P-256: the point is the last 65 octets.
  const keyHash = createHash('sha1').update(spki.subarray(-65)).digest();
  const tbs = Buffer.from(AsnConvert.serialize(data));
  return {
    code: response.responseStatus,
    statuses: data.responses.map(({ certStatus }) =>
      certStatus.revoked ? 'revoked' : certStatus.good === null ? 'good' : 'unknown',
    ),
    revokedMs: revoked ? revoked.revocationTime.getTime() : null,
    reason: revoked?.revocationReason?.reason ?? null,
    thisUpdateMs: first!.thisUpdate.getTime(),
    nextUpdateMs: first!.nextUpdate!.getTime(),
    nonce: found ? Buffer.from(AsnConvert.parse(found.extnValue.buffer, OctetString).buffer) : null,
    signer,
    verified:
      keyHash.equals(Buffer.from(data.responderID.byKey!.buffer)) &&
      verify('sha256', tbs, signer.publicKey, Buffer.from(basic.signature)),
  };
}

/** The answer that a TLS server on this machine staples. Rejects when there is none. */
export function stapledBy(port: number, ca: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca, requestOCSP: true });
    socket.once('OCSPResponse', (answer: Buffer | null) =>
      answer ? resolve(answer) : reject(new Error('nothing was stapled')),
    );
    socket.once('secureConnect', () => socket.destroy());
    socket.once('error', reject);
  });
}

export const ocspCode = (der: Buffer): ocsp.OCSPResponseStatus =>
  AsnConvert.parse(der, ocsp.OCSPResponse).responseStatus;
