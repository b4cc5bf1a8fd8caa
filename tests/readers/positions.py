"""Pictures that say where they were taken.

`make FOLDER` writes one of each kind; `read FILE...` prints for each what it says, and a digest of its pixels.
"""

import hashlib
import json
import pathlib
import sys

import pillow_heif
from PIL import Image, PngImagePlugin

pillow_heif.register_heif_opener()

GPS, ORIENTATION, MAKE = 0x8825, 0x0112, 0x010F
LATITUDE = b"22,32.0875N"
XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">\
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""\
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="kept"\
 exif:GPSLatitude="22,32.0875N"><exif:GPSLongitude>114,3.25E</exif:GPSLongitude></rdf:Description></rdf:RDF>\
</x:xmpmeta><?xpacket end="w"?>"""


def make(folder):
    picture = Image.effect_noise((160, 120), 90).convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[MAKE] = "A camera"
    exif[GPS] = {1: "N", 2: (22.0, 32.0, 5.25), 3: "E", 4: (114.0, 3.0, 15.0), 29: "2026:11:01"}
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", XMP.decode())
    for kind in ["jpg", "webp", "avif", "heic", "png"]:
        more = {"pnginfo": chunks} if kind == "png" else {"xmp": XMP}
        picture.save(folder / f"gps.{kind}", exif=exif.tobytes(), **more)


def read(path):
    content = pathlib.Path(path).read_bytes()
    picture = Image.open(path)
    picture.load()
    exif = picture.getexif()
    return {
        "gps": bool(exif.get_ifd(GPS)),
        "xmp": LATITUDE in content,
        "kept": b'dc:format="kept"' in content,
        "make": exif.get(MAKE),
        "orientation": exif.get(ORIENTATION),
        "pixels": hashlib.sha256(picture.tobytes()).hexdigest(),
    }


if sys.argv[1] == "make":
    make(pathlib.Path(sys.argv[2]))
else:
    print(json.dumps([read(path) for path in sys.argv[2:]]))
