/** A certs-only CMS message: SignedData that nobody signs, the envelope in which EST hands out certificates. */
import 'reflect-metadata';
import {
  CertificateChoices,
  CertificateSet,
  CMSVersion,
  ContentInfo,
  DigestAlgorithmIdentifiers,
  EncapsulatedContentInfo,
  id_data,
  id_signedData,
  SignedData,
  SignerInfos,
} from '@peculiar/asn1-cms';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate } from '@peculiar/asn1-x509';

/** DER of the message around certificates in DER, in their order (RFC 5272, section 4.1; RFC 5652, section 5.1). */
export function certsOnly(certificates: readonly Buffer[]): Buffer {
  const choices = certificates.map(
    (der) => new CertificateChoices({ certificate: AsnConvert.parse(der, Certificate) }),
  );
  const signed = new SignedData({
    version: CMSVersion.v1,
    digestAlgorithms: new DigestAlgorithmIdentifiers(),
    encapContentInfo: new EncapsulatedContentInfo({ eContentType: id_data }),
    certificates: new CertificateSet(choices),
    signerInfos: new SignerInfos(),
  });
  const message = new ContentInfo({ contentType: id_signedData, content: AsnConvert.serialize(signed) });
  return Buffer.from(AsnConvert.serialize(message));
}
