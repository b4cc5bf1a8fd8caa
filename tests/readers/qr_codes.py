"""What three readers see in QR codes. Arguments: pictures. Prints a list with a list for each: ZBar, zxing, OpenCV."""

import json
import sys

import cv2
import zxingcpp
from PIL import Image
from pyzbar.pyzbar import ZBarSymbol, decode


def read(path):
    picture = Image.open(path).convert("L")
    zbar = [code.data.decode() for code in decode(picture, symbols=[ZBarSymbol.QRCODE])]
    zxing = [code.text for code in zxingcpp.read_barcodes(picture)]
    opencv = cv2.QRCodeDetector().detectAndDecode(cv2.imread(path, cv2.IMREAD_GRAYSCALE))[0]
    return [(zbar or [""])[0], (zxing or [""])[0], opencv]


print(json.dumps([read(path) for path in sys.argv[1:]]))
