/** Asks an OCSP responder about one certificate (RFC 6960, section 4.1), and names it as the answer will. */
import 'reflect-metadata';
import { hash } from 'node:crypto';
import { CertID, OCSPRequest, Request, TBSRequest } from '@peculiar/asn1-ocsp';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import { AlgorithmIdentifier } from '@peculiar/asn1-x509';
import type { Certificate } from '#common/x509/certificate.ts';
import { readDer, wholeOctets } from '#common/x509/der.ts';

/** SHA-1 names the issuer here and protects nothing: the one that every responder knows (RFC 5019, section 2.1.1). */
const sha1 = '1.3.14.3.2.26';

/** DER of the request, and of the CertID in it. */
export function ocspRequest(leaf: Certificate, issuer: Certificate): { request: Buffer; certId: Buffer } {
  const [, key] = readDer(issuer.spki).items;
  const id = new CertID({
    hashAlgorithm: new AlgorithmIdentifier({ algorithm: sha1, parameters: null }),
    issuerNameHash: new OctetString(digest(issuer.subject.der)),
    issuerKeyHash: new OctetString(digest(wholeOctets(key!, 'the key'))),
    serialNumber: serialOf(leaf),
  });
  const tbsRequest = new TBSRequest({ requestList: [new Request({ reqCert: id })] });
  const request = AsnConvert.serialize(new OCSPRequest({ tbsRequest }));
  return { request: Buffer.from(request), certId: Buffer.from(AsnConvert.serialize(id)) };
}

const digest = (bytes: Buffer): Buffer => hash('sha1', bytes, 'buffer');

/** Its contents as an INTEGER has them. */
function serialOf({ serialNumber }: Certificate): ArrayBuffer {
  const magnitude = Buffer.from(serialNumber, 'hex');
  const bytes = magnitude[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), magnitude]) : magnitude;
  return Uint8Array.from(bytes).buffer;
}
