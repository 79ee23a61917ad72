import sys

sys.exit("Jane-Doe-4711")
